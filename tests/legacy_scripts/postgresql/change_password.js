function changePassword(email, newPassword, callback) {
  var bcrypt = require('bcrypt');
  var postgres = require('pg');

  postgres.connect(configuration.CONNECTION, function (err, client, done) {
    if (err) return callback(err);
    bcrypt.hash(newPassword, 4, function (err, hash) {
      if (err) { done(); return callback(err); }
      client.query('UPDATE users SET password = $1 WHERE email = $2', [hash, email], function (err, result) {
        done();
        return callback(err, result && result.rowCount > 0);
      });
    });
  });
}
