function remove(id, callback) {
  const mongo = require('mongodb@3.1.4');
  const client = new mongo.MongoClient(configuration.MONGO_URL);

  client.connect(function (err) {
    if (err) return callback(err);
    client.db('legacy').collection('users').remove({ _id: mongo.ObjectID(id) }, function (err) {
      client.close();
      callback(err || null);
    });
  });
}
