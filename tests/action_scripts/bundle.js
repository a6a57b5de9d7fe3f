// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
(function () {
  var entry = {};
  Object.defineProperty(entry, '__esModule', { value: true });
  entry.default = (email, password, callback) => callback(null, { user_id: 1 });
  module.exports = entry;
})()
