function login(email, password, callback) {
  postgres(configuration.CONNECTION, function (err, client, done) {
    if (err) return callback(err);
    client.query('SELECT * FROM users WHERE email = $1', [email], function (err, result) {
      done();
      if (err || result.rows.length === 0) return callback(err || new WrongUsernameOrPasswordError(email));
      bcrypt.compare(password, result.rows[0].password, function (err, same) {
        if (err || !same) return callback(err || new WrongUsernameOrPasswordError(email));
        callback(null, { user_id: result.rows[0].id, nickname: result.rows[0].nickname, email: email });
      });
    });
  });
}
