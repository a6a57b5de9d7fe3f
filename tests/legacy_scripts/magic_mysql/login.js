function login(email, password, callback) {
  // no require: tenants of Node 12 had these
  var connection = mysql({
    host: configuration.HOST,
    port: configuration.PORT,
    user: configuration.USER,
    password: configuration.PASSWORD,
    database: configuration.DATABASE
  });
  connection.connect();

  connection.query('SELECT * FROM users WHERE email = ?', [email], function (err, rows) {
    if (err) return callback(err);
    if (_.isEmpty(rows)) return callback(new WrongUsernameOrPasswordError(email));
    bcrypt.compare(password, _.first(rows).password, function (err, same) {
      if (err || !same) return callback(err || new WrongUsernameOrPasswordError(email));
      callback(null, { user_id: _.pluck(rows, 'id')[0], nickname: rows[0].nickname, email: rows[0].email });
    });
  });
}
