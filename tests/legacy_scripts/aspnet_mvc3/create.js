function create(user, callback) {
  const crypto = require('crypto');
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'membership',
      rowCollectionOnRequestCompletion: true
    }
  });

  const salt = crypto.randomBytes(16);
  const hash = crypto.createHash('sha1').update(Buffer.concat([salt, new Buffer(user.password, 'ucs2')])).digest('base64');

  function addUser(next) {
    const query =
      'INSERT INTO Users (UserId, ApplicationId, UserName, IsAnonymous, LastActivityDate) ' +
      "SELECT NEWID(), ApplicationId, @UserName, 0, GETDATE() FROM Applications WHERE ApplicationName = '/'";
    const request = new Request(query, function (err) {
      if (err) return callback(err);
      next();
    });
    request.addParameter('UserName', TYPES.NVarChar, user.email);
    connection.execSql(request);
  }

  function addMembership() {
    const query =
      'INSERT INTO Memberships (UserId, ApplicationId, Email, Password, PasswordFormat, PasswordSalt, IsApproved, CreateDate) ' +
      'SELECT UserId, ApplicationId, @Email, @Password, 1, @Salt, 1, @Now FROM Users WHERE UserName = @Email';
    const request = new Request(query, function (err, rowCount) {
      if (err) return callback(err);
      callback(null, rowCount > 0);
    });
    request.addParameter('Email', TYPES.NVarChar, user.email);
    request.addParameter('Password', TYPES.NVarChar, hash);
    request.addParameter('Salt', TYPES.NVarChar, salt.toString('base64'));
    request.addParameter('Now', TYPES.DateTime, new Date());
    connection.execSql(request);
  }

  connection.on('connect', function (err) {
    if (err) return callback(err);
    addUser(addMembership);
  });
}
