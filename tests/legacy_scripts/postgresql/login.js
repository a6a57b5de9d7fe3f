function login(email, password, callback) {
  var bcrypt = require('bcrypt@0.8.5');
  var postgres = require('pg@4.3.0');

  postgres.connect(configuration.CONNECTION, function (err, client, done) {
    if (err) return callback(err);
    var query = 'SELECT id, nickname, email, password, verified FROM users WHERE email = $1';
    client.query(query, [email], function (err, result) {
      done();
      if (err || result.rows.length === 0) return callback(err || new WrongUsernameOrPasswordError(email));
      var user = result.rows[0];
      bcrypt.compare(password, user.password, function (err, isValid) {
        if (err || !isValid) return callback(err || new WrongUsernameOrPasswordError(email));
        return callback(null, { user_id: user.id, nickname: user.nickname, email: user.email, email_verified: user.verified });
      });
    });
  });
}
