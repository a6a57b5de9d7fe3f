function getByEmail(email, callback) {
  var client = new pg.Client(configuration.CONNECTION);
  var found = null;
  client.connect();
  client.query('SELECT id, nickname, email FROM users WHERE email = $1', [email])
    .on('row', function (row) {
      found = { user_id: row.id, nickname: row.nickname, email: row.email };
    })
    .on('end', function () {
      client.end();
      callback(null, found);
    });
}
