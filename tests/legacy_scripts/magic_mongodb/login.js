function login(email, password, callback) {
  mongo(configuration.MONGO_URL, function (db) {
    var users = db.collection('users');
    users.findOne({ email: email }, function (err, user) {
      if (err) return callback(err);
      if (!user) return callback(new WrongUsernameOrPasswordError(email));
      bcrypt.compare(password, user.password, function (err, isValid) {
        if (err) return callback(err);
        if (!isValid) return callback(new WrongUsernameOrPasswordError(email));
        callback(null, { user_id: user._id.toString(), nickname: user.nickname, email: user.email });
      });
    });
  });
}
