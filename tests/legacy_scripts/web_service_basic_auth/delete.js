function remove(id, callback) {
  var request = require('request');

  request.del(configuration.SERVICE_URL + '/users/' + id, function (err) {
    callback(err);
  });
}
