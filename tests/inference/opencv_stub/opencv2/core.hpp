// The few names of OpenCV that a runner uses, for a machine without its headers: a "model" is a file of numbers that are
// given out whatever goes in, and a "picture" is a name such as 70x50.
#pragma once
#include <cstdio>
#include <string>
#include <vector>

enum { CV_8U, CV_16U, CV_32F };

namespace cv {
enum { COLOR_BGR2GRAY, INTER_LINEAR, BORDER_CONSTANT, IMREAD_COLOR, IMREAD_ANYDEPTH };
struct Size { int width = 0, height = 0; };
struct Scalar { static Scalar all(double) { return {}; } };
struct Mat {
    struct Sizes {
        std::vector<int> n;
        int operator[](int i) const { return n[i]; }
        Size operator()() const { return {n[1], n[0]}; }
    } size;
    int rows = 0, cols = 0;
    std::vector<float> data;
    int depth() const { return CV_8U; }
    bool empty() const { return rows == 0; }
    Mat clone() const { return *this; }
    void convertTo(Mat&, int, double) const {}
    template <class T> const T* ptr() const { return data.data(); }
};
inline void resize(const Mat& from, Mat& to, Size, double, double, int) { to = from; }
inline void copyMakeBorder(const Mat&, Mat&, int, int, int, int, int, Scalar) {}
inline void cvtColor(const Mat&, Mat&, int) {}
inline Mat imread(const std::string& name, int) {
    Mat found;
    std::sscanf(name.c_str(), "%dx%d", &found.cols, &found.rows);
    found.size.n = {found.rows, found.cols};
    return found;
}
namespace dnn {
inline Mat blobFromImage(const Mat& image, double, Size, Scalar, bool) { return image; }
struct Net {
    std::vector<Mat> outputs;
    void setInput(const Mat&) {}
    void forward(std::vector<Mat>& found, const std::vector<std::string>&) { found = outputs; }
};
inline Net readNetFromONNX(const std::string& name) {  // of each output its dimensions, 0 behind them, and its numbers
    Net net;
    std::FILE* file = std::fopen(name.c_str(), "rb");
    for (int length; std::fread(&length, 4, 1, file) == 1;) {
        Mat mat;
        int all = 1;
        for (; length; std::fread(&length, 4, 1, file) == 1 || (length = 0)) mat.size.n.push_back(length), all *= length;
        mat.data.resize(all);
        if (std::fread(mat.data.data(), 4, all, file) != size_t(all)) return net;
        net.outputs.push_back(mat);
    }
    std::fclose(file);
    return net;
}
}  // namespace dnn
}  // namespace cv
