function remove(id, callback) {
  var mongo = require('mongodb@2.0.33');

  mongo.MongoClient.connect(configuration.MONGO_URL, function (err, db) {
    if (err) return callback(err);
    db.collection('users').remove({ _id: mongo.ObjectID.createFromHexString(id) }, { single: true }, function (err, result) {
      db.close();
      if (err || result.result.n !== 1) return callback(err || new Error('nobody to delete'));
      callback(null);
    });
  });
}
