function getByEmail(email, callback) {
  var pool = mysql_pool({
    host: configuration.HOST,
    port: configuration.PORT,
    user: configuration.USER,
    password: configuration.PASSWORD,
    database: configuration.DATABASE
  });

  pool.getConnection(function (err, connection) {
    if (err) return callback(err);
    connection.query('SELECT id, nickname, email FROM users WHERE email = ?', [email], function (err, rows) {
      connection.release();
      if (err || !rows.length) return callback(err);
      callback(null, _.extend({ user_id: rows[0].id }, _.pick(rows[0], 'nickname', 'email')));
    });
  });
}
