function getByEmail(email, callback) {
  var mysql = require('mysql@2.11.1');
  var connection = mysql({
    host: configuration.HOST,
    port: configuration.PORT,
    user: configuration.USER,
    password: configuration.PASSWORD,
    database: configuration.DATABASE
  });
  connection.connect();

  connection.query('SELECT id, nickname, email, verified FROM users WHERE email = ?', [email], function (err, rows) {
    if (err || rows.length === 0) return callback(err || null);
    callback(null, {
      user_id: rows[0].id.toString(),
      nickname: rows[0].nickname,
      email: rows[0].email,
      email_verified: rows[0].verified === 1
    });
  });
}
