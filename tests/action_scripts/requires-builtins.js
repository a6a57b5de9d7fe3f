// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":"4d05869dcaff4170"}
function login(email, password, callback) {
  const crypto = require('node:crypto');
  const { format } = require('util');
  crypto.pbkdf2(password, 'salt', 1, 8, 'sha1', (error, key) =>
    callback(error, { user_id: format('%s', key.toString('hex')) }),
  );
}
