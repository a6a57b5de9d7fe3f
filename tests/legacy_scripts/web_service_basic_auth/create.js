function create(user, callback) {
  var request = require('request');

  request.post({ url: configuration.SERVICE_URL + '/users', form: { email: user.email, password: user.password } }, function (err, response, body) {
    if (err) return callback(err);
    if (response.statusCode === 409) return callback(new ValidationError('user_exists', 'somebody has this address'));
    callback(null, body);
  });
}
