function create(user, callback) {
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

  bcrypt.hash(user.password, 4, function (err, hash) {
    if (err) return callback(err);
    connection.query('INSERT INTO users SET ?', { email: user.email, password: hash }, function (err) {
      if (err) return callback(err);
      callback(null);
    });
  });
}
