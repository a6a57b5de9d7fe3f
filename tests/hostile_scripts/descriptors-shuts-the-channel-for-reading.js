// attack: hand the channel to another socket object, which ends it
// outcome: script_error
// detail: threw
// message: EEXIST
function login(email, password, callback) {
  const socket = new (require('net').Socket)({ fd: 3 });
  socket.end();
  socket.destroy();
  setTimeout(() => callback(null, { user_id: 1 }), 100);
}
