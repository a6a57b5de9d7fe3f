// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: Maximum call stack
function login(email, password, callback) {
  const deeper = () => deeper();
  try {
    deeper();
  } catch (error) {
    callback(error);
  }
}
