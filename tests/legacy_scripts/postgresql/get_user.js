function loginByEmail(email, callback) {
  var postgres = require('pg');

  postgres.connect(configuration.CONNECTION, function (err, client, done) {
    if (err) return callback(err);
    var found = [];
    var query = client.query('SELECT id, nickname, email, verified FROM users WHERE email = $1', [email]);
    query.on('row', function (row) { found.push(row); });
    query.on('error', function (err) { done(); callback(err); });
    query.on('end', function () {
      done();
      if (found.length === 0) return callback(null);
      callback(null, { user_id: found[0].id, nickname: found[0].nickname, email: found[0].email, email_verified: found[0].verified });
    });
  });
}
