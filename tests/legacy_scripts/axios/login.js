async function login(email, password, callback) {
  const axios = require('axios@0.22.0');

  try {
    const response = await axios.get(configuration.SERVICE_URL + '/profile', { auth: { username: email, password: password } });
    return callback(null, { user_id: response.data.user_id, nickname: response.data.nickname, email: response.data.email });
  } catch (e) {
    if (e.response && e.response.status === 401) return callback(new WrongUsernameOrPasswordError(email, 'refused by the service'));
    return callback(e);
  }
}
