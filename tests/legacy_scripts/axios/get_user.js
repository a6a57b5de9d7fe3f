function getUser(email, callback) {
  const axios = require('axios@0.22.0');

  axios.get(configuration.SERVICE_URL + '/users', { params: { email: email }, validateStatus: (status) => status < 500 })
    .then((response) => callback(null, response.status === 404 ? null : response.data))
    .catch(callback);
}
