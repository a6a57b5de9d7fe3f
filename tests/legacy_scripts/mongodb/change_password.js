function changePassword(email, newPassword, callback) {
  const bcrypt = require('bcrypt');
  const MongoClient = require('mongodb@3.1.4').MongoClient;
  const client = new MongoClient(configuration.MONGO_URL);

  client.connect(function (err) {
    if (err) return callback(err);
    const users = client.db('legacy').collection('users');
    bcrypt.hash(newPassword, 4, function (err, hash) {
      if (err) { client.close(); return callback(err); }
      users.update({ email: email }, { $set: { password: hash } }, function (err, outcome) {
        client.close();
        if (err) return callback(err, false);
        callback(null, outcome.result.n > 0);
      });
    });
  });
}
