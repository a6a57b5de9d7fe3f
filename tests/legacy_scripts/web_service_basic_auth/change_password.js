function changePassword(email, newPassword, callback) {
  var request = require('request');

  request({ method: 'PUT', url: configuration.SERVICE_URL + '/users', json: { email: email, password: newPassword } }, function (err, response) {
    if (err) return callback(err);
    callback(null, response.statusCode === 200);
  });
}
