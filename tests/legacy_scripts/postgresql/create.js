function create(user, callback) {
  var bcrypt = require('bcrypt');
  var postgres = require('pg');

  postgres.connect(configuration.CONNECTION, function (err, client, done) {
    if (err) return callback(err);
    bcrypt.hash(user.password, 4, function (err, hash) {
      if (err) { done(); return callback(err); }
      client.query('INSERT INTO users (email, password) VALUES ($1, $2)', [user.email, hash], function (err, result) {
        done();
        return callback(err, result && result.rowCount > 0);
      });
    });
  });
}
