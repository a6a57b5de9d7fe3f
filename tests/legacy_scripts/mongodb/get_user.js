function getByEmail(email, callback) {
  const MongoClient = require('mongodb@5.1.0').MongoClient;
  const client = new MongoClient(configuration.MONGO_URL);

  client.connect(function (err) {
    if (err) return callback(err);
    client.db('legacy').collection('users').findOne({ email: email }, function (err, user) {
      client.close();
      if (err) return callback(err);
      if (!user) return callback(null, null);
      return callback(null, { user_id: user._id, nickname: user.nickname, email: user.email });
    });
  });
}
