function getByEmail(email, callback) {
  mongo(configuration.MONGO_URL, function (err, db) {
    if (err) return callback(err);
    db.collection('users').findOne({ email: email }, function (err, user) {
      if (err || !user) return callback(err, null);
      db.collection('users').findOne({ _id: ObjectID(user._id.toString()) }, function (err, again) {
        if (err) return callback(err);
        callback(null, { user_id: again._id.toString(), nickname: again.nickname, email: again.email });
      });
    });
  });
}
