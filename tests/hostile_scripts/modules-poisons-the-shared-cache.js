// attack: change a shared module, hoping that other connections share it
// value: {"user_id":1}
function login(email, password, callback) {
  require('lodash').poisoned = require('fs').poisoned = global.poisoned = Object.prototype.poisoned = true;
  callback(null, { user_id: 1 });
}
