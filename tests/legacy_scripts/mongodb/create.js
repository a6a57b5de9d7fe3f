function create(user, callback) {
  const bcrypt = require('bcrypt');
  const MongoClient = require('mongodb@3.1.4').MongoClient;

  MongoClient.connect(configuration.MONGO_URL, { useNewUrlParser: true }, function (err, client) {
    if (err) return callback(err);
    const users = client.db('legacy').collection('users');
    users.findOne({ email: user.email }, function (err, withSameMail) {
      if (err || withSameMail) {
        client.close();
        return callback(err || new Error('the user already exists'));
      }
      bcrypt.hash(user.password, 4, function (err, hash) {
        if (err) { client.close(); return callback(err); }
        users.insert({ email: user.email, password: hash }, function (err, inserted) {
          client.close();
          if (err) return callback(err);
          callback(null, inserted.ops[0]._id.toString());
        });
      });
    });
  });
}
