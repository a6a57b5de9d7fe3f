// attack: get at Node's internal bindings
// came_to: {"internal":"ReferenceError","linked":["ERR_INVALID_MODULE","Error"],"expose":["MODULE_NOT_FOUND","ERR_UNKNOWN_BUILTIN_MODULE"],"wrap":["ERR_INVALID_MODULE","Error"]}
function login(email, password, callback) {
  report(callback, {
    internal: () => void internalBinding('fs'),
    linked: () => void process._linkedBinding('trickle'),
    expose: () => require('internal/bootstrap/realm'),
    wrap: () => void process.binding('no_such'),
  });
}
