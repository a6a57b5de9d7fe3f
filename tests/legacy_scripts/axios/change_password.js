async function changePassword(email, newPassword, callback) {
  const axios = require('axios@0.22.0');

  try {
    const response = await axios.put(configuration.SERVICE_URL + '/users', { email: email, password: newPassword });
    return callback(null, response.status === 200);
  } catch (e) {
    return callback(e);
  }
}
