function getByEmail(email, callback) {
  var MongoClient = require('mongodb@2.0.33').MongoClient;

  MongoClient.connect(configuration.MONGO_URL, function (err, db) {
    if (err) return callback(err);
    db.collection('users').findOne({ $or: [{ email: email }, { username: email }] }, { fields: { password: 0 } }, function (err, user) {
      db.close();
      if (err || !user) return callback(err);
      if (user.password) return callback(new Error('the hash was not left out'));
      callback(null, { user_id: user._id.toHexString(), nickname: user.nickname, email: user.email });
    });
  });
}
