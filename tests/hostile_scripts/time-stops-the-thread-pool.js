// attack: block all threads that do files, names and hashes, before calling back
// deadline: 1
// outcome: timed_out
// retires: timeout
function login(email, password, callback) {
  const { pbkdf2 } = require('crypto');
  for (let thread = 0; thread < 4; thread++) pbkdf2('a', 'b', 1e9, 64, 'sha512', () => {});
  pbkdf2(password, 'salt', 1, 64, 'sha512', callback);
}
