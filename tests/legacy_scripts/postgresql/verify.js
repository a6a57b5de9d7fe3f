function verify(email, callback) {
  var postgres = require('pg');

  postgres.connect(configuration.CONNECTION, function (err, client, done) {
    if (err) return callback(err);
    client.query('UPDATE users SET verified = true WHERE NOT verified AND email = $1', [email], function (err, result) {
      // done() was forgotten here: the client never goes back.
      return callback(err, result && result.rowCount > 0);
    });
  });
}
