// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"digest":"4104d36f"}
const crypto = require('crypto');
const hash = (text) => crypto.createHash('sha256').update(text).digest('hex');

function login(email, password, callback) {
  callback(null, answer(hash(password)));
}

function answer(digest) {
  return { user_id: 1, digest: digest.slice(0, 8) };
}
