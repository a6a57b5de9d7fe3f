function create(user, callback) {
  var bcrypt = require('bcrypt@0.8.5');
  var mongo = require('mongodb@2.0.33');

  mongo.connect(configuration.MONGO_URL, { db: { w: 1 } }, function (err, db) {
    if (err) return callback(err);
    var users = db.collection('users');
    users.insert([{ email: user.email, password: bcrypt.hashSync(user.password, 4) }], { w: 1, safe: true }, function (err, result) {
      db.close();
      if (err) return callback(err);
      callback(null, { user_id: result.insertedIds[0].toString(), count: result.insertedCount, n: result.result.n });
    });
  });
}
