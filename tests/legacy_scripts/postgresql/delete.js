function remove(id, callback) {
  var postgres = require('pg');

  postgres.connect(configuration.CONNECTION, function (err, client, done) {
    if (err) return callback(err);
    client.query("DELETE FROM users WHERE id = " + id, function (err) {
      done();
      callback(err);
    });
  });
}
