// attack: begin connects that never end, to hold up whoever connects for it
// needs: full
// deadline: 1
// outcome: timed_out
// detail: waiting
// retires: timeout
function login(email, password, callback) {
  const net = require('net');
  for (let round = 0; round < 200; round++) {
    net.connect(Number(configuration.hung), '127.0.0.1').on('error', () => {});
  }
}
