function login(email, password, callback) {
  var bcrypt = require('bcrypt@0.8.5');
  var MongoClient = require('mongodb@2.0.33').MongoClient;
  var options = { server: { poolSize: 2, socketOptions: { keepAlive: 1 } }, uri_decode_auth: true };

  MongoClient.connect(configuration.MONGO_URL, options, function (err, db) {
    if (err) return callback(err);
    db.collection('users', function (err, users) {
      if (err) return callback(err);
      users.find({ email: email }, { _id: 1, email: 1, nickname: 1, password: 1 }).limit(1).toArray(function (err, found) {
        db.close();
        if (err) return callback(err);
        if (!found.length) return callback(new WrongUsernameOrPasswordError(email));
        bcrypt.compare(password, found[0].password, function (err, same) {
          if (err || !same) return callback(err || new WrongUsernameOrPasswordError(email));
          callback(null, { user_id: found[0]._id, nickname: found[0].nickname, email: found[0].email });
        });
      });
    });
  });
}
