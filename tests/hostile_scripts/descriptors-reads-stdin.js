// attack: read what somebody may have left on stdin
// value: {"user_id":"attempted","read":0}
function login(email, password, callback) {
  const read = require('fs').readSync(0, Buffer.alloc(100));
  callback(null, { user_id: 'attempted', read });
}
