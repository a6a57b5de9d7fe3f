function remove(id, callback) {
  var mysql = require('mysql');
  var connection = mysql({
    host: configuration.HOST,
    port: configuration.PORT,
    user: configuration.USER,
    password: configuration.PASSWORD,
    database: configuration.DATABASE
  });
  connection.connect();

  connection.query('DELETE FROM users WHERE id = ?', [id], function (err) {
    if (err) return callback(err);
    callback(null);
  });
}
