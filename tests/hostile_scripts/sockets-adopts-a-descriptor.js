// attack: make sockets of descriptors that are not its own
// came_to: {"stdin":["done","refused","EINVAL","ERR_INVALID_FD_TYPE"],"loop":["refused","EINVAL","ERR_INVALID_FD_TYPE","done"]}
function login(email, password, callback) {
  const net = require('net');
  report(callback, {
    stdin: () => void new net.Socket({ fd: 0 }),
    loop: () => void new net.Socket({ fd: 5 }),
  });
}
