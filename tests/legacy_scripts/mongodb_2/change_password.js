function changePassword(email, newPassword, callback) {
  var bcrypt = require('bcrypt@0.8.5');
  var MongoClient = require('mongodb@2.0.33').MongoClient;

  MongoClient.connect(configuration.MONGO_URL, function (err, db) {
    if (err) return callback(err);
    var change = { $set: { password: bcrypt.hashSync(newPassword, 4) } };
    db.collection('users').findAndModify({ email: email }, [['_id', 1]], change, { new: true }, function (err, result) {
      db.close();
      if (err) return callback(err);
      callback(null, result.value !== null && result.value.email === email);
    });
  });
}
