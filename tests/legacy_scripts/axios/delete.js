async function remove(id, callback) {
  const axios = require('axios@0.22.0');

  await axios.delete(configuration.SERVICE_URL + '/users/' + id).catch(callback);
  callback(null);
}
