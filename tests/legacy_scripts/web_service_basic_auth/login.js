function login(email, password, callback) {
  var request = require('request');

  request.get({
    url: configuration.SERVICE_URL + '/profile',
    auth: { username: email, password: password }
  }, function (err, response, body) {
    if (err) return callback(err);
    if (response.statusCode === 401) return callback();
    var user = JSON.parse(body);
    callback(null, { user_id: user.user_id.toString(), nickname: user.nickname, email: user.email });
  });
}
