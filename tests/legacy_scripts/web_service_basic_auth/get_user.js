function getByEmail(email, callback) {
  var request = require('request@2.67.0');

  request.get({ url: configuration.SERVICE_URL + '/users', qs: { email: email }, json: true }, function (err, response, body) {
    if (err) return callback(err);
    if (response.statusCode === 404) return callback(null);
    callback(null, body);
  });
}
