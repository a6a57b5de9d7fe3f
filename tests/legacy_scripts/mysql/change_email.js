function changeEmail(email, newEmail, verified, callback) {
  var mysql = require('mysql');
  var connection = mysql({
    host: configuration.HOST,
    port: configuration.PORT,
    user: configuration.USER,
    password: configuration.PASSWORD,
    database: configuration.DATABASE
  });
  connection.connect();

  var sql = "UPDATE users SET email = '" + newEmail + "', verified = " + (verified ? 1 : 0) + " WHERE email = '" + email + "'";
  connection.query(sql, function (err, results) {
    if (err) return callback(err);
    callback(null, results.affectedRows > 0);
  });
}
