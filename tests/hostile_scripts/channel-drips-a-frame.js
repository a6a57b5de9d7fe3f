// attack: send a large frame byte by byte
// deadline: 1
// outcome: timed_out
// retires: timeout
function login(email, password, callback) {
  const fs = require('fs');
  fs.writeSync(3, Buffer.from([0, 15, 0, 0]));
  for (;;) fs.writeSync(3, ' ');
}
