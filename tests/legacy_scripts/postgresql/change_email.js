function changeEmail(email, newEmail, verified, callback) {
  var postgres = require('pg');

  postgres.connect(configuration.CONNECTION, function (err, client, done) {
    if (err) return callback(err);
    client.query('UPDATE users SET email = $1, verified = $2 WHERE email = $3', [newEmail, verified, email], function (err, result) {
      done();
      return callback(err, result && result.rowCount > 0);
    });
  });
}
