async function create(user, callback) {
  const axios = require('axios@0.22.0');

  try {
    await axios.post(configuration.SERVICE_URL + '/users', new URLSearchParams({ email: user.email, password: user.password }).toString());
    return callback(null);
  } catch (e) {
    return callback(e);
  }
}
