// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: ECONNREFUSED
function login(email, password, callback) {
  const { Client } = require('pg');
  const client = new Client({ host: '127.0.0.1', port: 1, user: 'u', password: 'p' });
  client.connect((error) => {
    if (error) return callback(error);
    callback(new WrongUsernameOrPasswordError(email));
  });
}
