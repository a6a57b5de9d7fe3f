function changePassword(email, newPassword, callback) {
  var bcrypt = require('bcrypt');
  var mysql = require('mysql');
  var connection = mysql({
    host: configuration.HOST,
    port: configuration.PORT,
    user: configuration.USER,
    password: configuration.PASSWORD,
    database: configuration.DATABASE
  });
  connection.connect();

  bcrypt.hash(newPassword, 4, function (err, hash) {
    if (err) return callback(err);
    connection.query('UPDATE users SET password = ? WHERE email = ?', [hash, email], function (err, results) {
      if (err) return callback(err);
      callback(null, results.length > 0);
    });
  });
}
