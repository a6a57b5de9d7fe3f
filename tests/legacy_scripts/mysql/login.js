function login(email, password, callback) {
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

  var sql = 'SELECT id, nickname, email, password, verified FROM users WHERE email = ?';
  connection.query(sql, [email], function (err, rows) {
    if (err) return callback(err);
    if (rows.length === 0) return callback(new WrongUsernameOrPasswordError(email));
    var row = rows[0];
    bcrypt.compare(password, row.password, function (err, same) {
      if (err || !same) return callback(err || new WrongUsernameOrPasswordError(email));
      callback(null, {
        user_id: row.id.toString(),
        nickname: row.nickname,
        email: row.email,
        email_verified: row.verified === 1
      });
    });
  });
}
